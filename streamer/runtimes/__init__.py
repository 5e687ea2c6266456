"""What runs the graphs of a bundle: implementations of ``schemas.ports.ModelRuntime``, their choice, their contract."""
