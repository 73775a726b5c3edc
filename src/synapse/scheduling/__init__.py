"""Who goes next, with which credential, and what follows a failure: plain functions of state and now."""
