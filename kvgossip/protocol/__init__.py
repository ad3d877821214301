"""One state machine a file: rumors, exchanges, transfers, membership."""
