"""A trained network of torchvision or timm → a network of the models' folder. Needs torch, and the library that defines
the architecture.
"""
