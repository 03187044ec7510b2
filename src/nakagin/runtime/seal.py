def reexec(keep: list[int]) -> None:
    pass
