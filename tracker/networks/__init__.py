"""Networks: numbers in, numbers out; they read no files of the user, no cameras and no frames."""
