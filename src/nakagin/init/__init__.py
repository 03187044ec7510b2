"""`nakagin init`: a project's folder → what it is → the files that put it into a container. Knows no engine."""
