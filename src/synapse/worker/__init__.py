"""Those who run tasks: slots, attempts, and the watch over them."""
