"""Vector indexes, one kind to a module, behind one port."""
