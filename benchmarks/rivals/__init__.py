"""What the races compare with: loops, servers and indexes of others."""
