"""Vector indexes, one backend to a module, behind one port."""
