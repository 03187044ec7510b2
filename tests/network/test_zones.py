from __future__ import annotations

from nakagin.network.zones import View, Zones


def view(*networks: str, **changes: object) -> View:
    document = {"networks": networks, "links": {}, "servers": (), "outside": True, "guarded": False}
    return View({**document, **changes})


def zones() -> Zones:
    made = Zones()
    made.put("n1", "front", "web", ("web", "Alias", "0123"), ("10.1.0.2", "fd01::2"))
    made.put("n1", "front", "two", ("two", "alias"), ("10.1.0.3",))
    made.put("n2", "back.end", "db", ("db",), ("10.2.0.2",))
    made.put("n2", "back.end", "web", ("web",), ("10.2.0.9",))
    made.look("web", view("n1", "n2"))
    made.look("db", view("n2"))
    return made


def test_names_are_those_of_ones_own_networks() -> None:
    made = zones()
    assert made.find("web", "db") == ("10.2.0.2",)
    assert made.find("db", "two") is None
    assert made.find("nobody", "web") is None


def test_the_first_network_counts() -> None:
    made = zones()
    assert made.find("web", "web") == ("10.1.0.2", "fd01::2")
    assert made.find("db", "web") == ("10.2.0.9",)


def test_a_name_of_several_has_all_their_addresses() -> None:
    assert zones().find("web", "alias") == ("10.1.0.2", "fd01::2", "10.1.0.3")


def test_a_name_may_carry_its_networks() -> None:
    made = zones()
    assert made.find("web", "db.back.end") == ("10.2.0.2",)
    assert made.find("web", "web.back.end") == ("10.2.0.9",)
    assert made.find("db", "two.front") is None


def test_links_are_ones_own() -> None:
    made = zones()
    made.look("db", view("n2", links={"n2": {"w": "web"}}))
    assert made.find("db", "w") == made.find("db", "w.back.end") == ("10.2.0.9",)
    assert made.find("web", "w") is None


def test_addresses_have_names() -> None:
    made = zones()
    assert made.name_of("web", "fd01::2") == "web.front"
    assert made.name_of("web", "10.2.0.2") == "db.back.end"
    assert made.name_of("db", "10.1.0.2") == ""


def test_localhost_is_nobodys_question() -> None:
    assert zones().find("db", "localhost") == ("127.0.0.1", "::1")


def test_what_leaves_is_forgotten() -> None:
    made = zones()
    made.put("n1", "front", "two", ("second",), ("10.1.0.4",))  # renamed, and moved
    assert made.find("web", "alias") == ("10.1.0.2", "fd01::2")
    assert made.find("web", "two") is None
    assert made.name_of("web", "10.1.0.3") == ""
    made.forget("web")
    assert made.find("db", "web") is None
    assert made.view("web") is None
    made.drop("n2", "db")
    made.drop("n2", "db")
    made.drop("n9", "db")
    assert made.find("db", "db") is None
