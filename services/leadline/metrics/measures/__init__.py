"""What is told from counts when a question is asked: curves, thresholds, calibration, intervals."""
