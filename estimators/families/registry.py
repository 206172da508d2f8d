"""Finding a family: by torch's type of q, or by name."""

from typing import TypeVar

from torch.distributions import Distribution

from estimators.errors import BadInput, unknown
from estimators.families.base import Family
from estimators.plugins import module_of

FAMILIES: dict[str, Family] = {}
"""The families by name."""
_by_type: dict[type, Family] = {}

FamilyClass = TypeVar("FamilyClass", bound=type[Family])
Capable = TypeVar("Capable", bound=Family)


def register_family(cls: FamilyClass) -> FamilyClass:
    """Class decorator that puts a family among those known.

    Raises:
        BadInput: the class lacks something that a family must say, or its name is taken by another.
    """
    if not (isinstance(cls, type) and issubclass(cls, Family)):
        raise BadInput(f"register_family is put over a class that derives from Family, without a name; got {cls!r}")
    if missing := sorted(getattr(cls, "__abstractmethods__", ())):
        raise BadInput(f"family {cls.__name__}: it must define {', '.join(missing)} (estimators/families/base.py)")
    taken = FAMILIES.get(cls.name)
    if taken is not None and (type(taken).__module__, type(taken).__qualname__) != (cls.__module__, cls.__qualname__):
        raise BadInput(f"family {cls.name!r} is already registered by {type(taken).__module__}; choose another name")
    other = _by_type.get(cls.distribution)
    if other is not None and other.name != cls.name:
        raise BadInput(f"family {cls.name!r}: {cls.distribution.__name__} is of family {other.name!r} already")
    FAMILIES[cls.name] = _by_type[cls.distribution] = cls()
    return cls


def family_of(q: Distribution) -> Family:
    """The family of q.

    Raises:
        TypeError: q is of none that is known.
    """
    for kind in type(q).__mro__:  # the class itself, or the nearest one that it derives from
        if kind in _by_type:
            return _by_type[kind]
    *others, last = (family.distribution.__name__ for family in FAMILIES.values())
    hints = (hint for family in FAMILIES.values() for mistaken, hint in family.mistaken.items() if type(q) is mistaken)
    more = "".join(f"; {hint}" for hint in hints)
    raise TypeError(f"q is a {type(q).__name__}; expected {', '.join(others)} or {last}{more}")


def family_named(name: str) -> Family:
    """The family called `name`, or that of the class at `module:Class`, which is imported.

    Raises:
        BadInput: there is none, or the class is no registered family.
    """
    if name in FAMILIES:
        return FAMILIES[name]
    if ":" not in name:
        about = {known: (type(family).__doc__ or "").partition("\n")[0] for known, family in FAMILIES.items()}
        raise BadInput(unknown("family", name, list(FAMILIES), "or module:Class", about))
    module, class_name = module_of(name)
    found = {
        type(family).__name__: family for family in FAMILIES.values() if type(family).__module__ == module.__name__
    }
    if class_name not in found:
        where = "those decorated with @register_family"
        raise BadInput(unknown(f"family in {module.__name__!r}:", class_name, list(found), where))
    return found[class_name]


def capable(q: Distribution, capability: type[Capable]) -> Capable:
    """The family of q, which must have a capability, such as `Relaxed`.

    Raises:
        TypeError: it has not.
    """
    family = family_of(q)
    if not isinstance(family, capability):
        raise TypeError(f"q is a {type(q).__name__}, whose family {family.name} is not {capability.__name__.lower()}")
    return family
