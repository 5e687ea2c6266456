"""Which dance is this? The networks of Bendit-Shtull, Cheng & Wang, *Who's Got the Groove?* (2020), and modern ones.

- ``sequential``: LSTM, LSTM with self-attention, and causal TCN over the features of a clip's frames.
- ``frames``: each frame alone and the majority of their votes, on image features or poses (the pose CNN, whose 102
  features stand beside an image network's 512 in what the sequential networks read).
- ``streams``: PSGCN and RTCN with a classification head.

``docs/decisions/0047-dance-styles.md`` says what the paper leaves open, and what is done here.
"""
