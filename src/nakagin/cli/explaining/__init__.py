"""How explanations are shown: facts of the engine in, lines and pictures out. Pure but for `tower.write`."""
