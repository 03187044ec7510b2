"""One file per language: `recipe(folder, answers)` gives what it makes of the folder, None where it is not its own."""
