"""The loops of the processes, and what runs beside them."""
