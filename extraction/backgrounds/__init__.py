"""What is behind the dancer: a background model, pictures of it at 4 Hz, and their embedding."""
