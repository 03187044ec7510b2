"""What `build` has on this side: the context, secrets, agents, and where results go."""
