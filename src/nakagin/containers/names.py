"""Names of containers: what is allowed, and ones we think up ourselves."""

from __future__ import annotations

import random
import re

from nakagin.errors import Invalid

_ALLOWED = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")

_ADJECTIVES = """
airy amber ample apt azure bold brave breezy bright brisk calm candid clever cosy crisp daring deft eager
early easy elegant fair fearless festive fluent fond frank fresh gentle gifted glad golden graceful grand
happy hardy hearty honest humble jolly jovial keen kind lively lofty loyal lucid lucky mellow merry mighty
mindful modest neat nimble noble patient placid plucky polite proud quick quiet radiant ready regal robust
serene sharp silent sincere sleek smart snug solid spry steady sturdy sunny swift tender thrifty tidy
tranquil trusty upbeat valiant vivid warm wise witty worthy young zealous zesty
"""

_SURNAMES = """
aalto ando asada ban barragan bawa breuer candela correa costa doshi eames ekuan eiermann fathy foster
fuller gaudi gehry gropius hadid hara hasegawa hejduk hollein horta ito jacobsen kahn kikutake koolhaas
kurokawa lasdun lautner lewerentz loos maki mayekawa meier mendes mies moneo murcutt neutra niemeyer nouvel
olbrich olgiati otake otto pei pelli piano plecnik ponti rietveld rogers rudolph saarinen safdie scarpa
schindler scott sejima shinohara siza soane souto sullivan tange taut tschumi utzon venturi wren wright
yamasaki zumthor
"""


def check_name(name: str) -> str:
    """`name` without its leading "/"; Invalid where Docker would refuse it."""
    bare = name.removeprefix("/")
    if not _ALLOWED.fullmatch(bare):
        raise Invalid(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
            hint="use at least two of these characters",
        )
    return bare


def invent_name(attempt: int = 0) -> str:
    """A random adjective_surname; from the third attempt on with a number, so that it will be free."""
    name = f"{random.choice(_ADJECTIVES.split())}_{random.choice(_SURNAMES.split())}"
    return name if attempt < 2 else f"{name}{random.randrange(10 ** (attempt + 1))}"
