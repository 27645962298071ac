"""What decides: pure functions of columns, time and limits."""
