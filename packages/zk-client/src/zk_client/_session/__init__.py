"""The session without I/O: state machine, timers, watches, and what became of lost writes."""
