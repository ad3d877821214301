"""Messages between peers and their codec."""
