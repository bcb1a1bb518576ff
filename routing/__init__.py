"""Who gets the next customer: the pure engine and the worker that drives it."""
