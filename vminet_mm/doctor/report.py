"""What the doctor found, and how it is printed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from ..errors import one_line


@dataclass
class Problem:
    """Something that is wrong.

    Attributes:
        what: One line that says it.
        fix: The command that fixes it.
        fatal: Whether training cannot run because of it.
    """

    what: str
    fix: str
    fatal: bool = True


@dataclass
class Section:
    """What one check found.

    Attributes:
        title: What was looked at.
        facts: Names and what is said of them, in the order of printing.
        problems: What is wrong.
    """

    title: str
    facts: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, what: str, fix: str, fatal: bool = True) -> None:
        """Note a problem, once; its text is brought to one line."""
        problem = Problem(one_line(what), fix, fatal)
        if problem not in self.problems:
            self.problems.append(problem)


def can_train(sections: Sequence[Section]) -> bool:
    """Whether no section holds a fatal problem."""
    return not any(problem.fatal for section in sections for problem in section.problems)


def as_text(sections: Sequence[Section]) -> str:
    """The facts section by section, then the problems, fatal ones first, then the verdict."""
    lines = []
    for section in sections:
        lines += [section.title, *(f'  {k:<24} {v}' for k, v in section.facts.items()), '']
    problems = [problem for section in sections for problem in section.problems]
    for problem in sorted(problems, key=lambda problem: not problem.fatal):
        kind = 'problem' if problem.fatal else 'warning'
        lines += [f'{kind}: {problem.what}', f'  -> {problem.fix}']
    verdict = 'Training can run.' if can_train(sections) else 'Training cannot run.'
    return '\n'.join([*lines, verdict])


def as_dict(sections: Sequence[Section]) -> dict:
    """The same for JSON: ``can_train`` and the ``sections`` with their facts and problems."""
    return dict(can_train=can_train(sections), sections=[asdict(section) for section in sections])
