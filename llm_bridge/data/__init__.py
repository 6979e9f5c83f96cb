"""Questions with their answers: files, layouts and data sets."""
