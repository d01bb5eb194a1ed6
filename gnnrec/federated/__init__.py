"""Training in rounds between a server and clients that keep their users' data: only sums over clients leave them."""
