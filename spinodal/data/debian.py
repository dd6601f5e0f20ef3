"""Pairs of sentences from translated descriptions of Debian's packages, read from this computer's own lists.

apt keeps the descriptions of each language that its `Acquire::Languages` names. A description and its translation have
one checksum; they are cut into paragraphs and these into sentences, which are pairs where their numbers agree.
Sentences have 3 to 14 words, their translations up to 16; marks at the end, which differ between the languages, are
left out, and of sentences that differ in case alone one is kept. Translations are under the licences of their packages.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from spinodal.errors import InputError

LANGUAGES = ("it", "fr", "de")
HELPER = Path("/usr/lib/apt/apt-helper")  # prints files of lists, whatever compresses them
WORDS, TRANSLATED = (3, 14), 16
LENGTHS = (0.5, 2.0)  # characters of a sentence over those of its translation
SENTENCE = re.compile(r"(?<=[.!?]) +(?=[A-Z(\"«])")
ITEM = re.compile(r" +[*+-] ")


def descriptions(language: str, *, pairs: str) -> dict[str, str]:
    """{checksum: description} in a language, of the lists of apt; InputError, for these `pairs`, where none are."""
    if shutil.which("apt-get") is None or not HELPER.exists():
        raise InputError(f"{pairs} are read from lists of Debian's apt, and there is no apt here")
    wanted = ["--format", "$(FILENAME)", "Created-By: Translations", f"Language: {language}"]
    found = subprocess.run(["apt-get", "indextargets", *wanted], capture_output=True, text=True)
    texts = [
        subprocess.run([HELPER, "cat-file", name], capture_output=True).stdout.decode(errors="replace")
        for name in found.stdout.split("\n")
        if name
    ]
    if not any(texts):
        raise InputError(
            f"{pairs} are read from lists of Debian's apt, and those in {language} are not here: let "
            f"Acquire::Languages name both languages, and run apt-get update"
        )
    return {key: text for part in texts for key, text in parse_list(part, language)}


def parse_list(text: str, language: str) -> Iterator[tuple[str, str]]:
    """(checksum, description) of the entries of a list."""
    described = re.compile(rf"^Description-{language}: (.*(?:\n .*)*)", re.MULTILINE)
    for entry in text.split("\n\n"):
        checksum, description = (
            re.search(r"^Description-md5: (\w+)", entry, re.MULTILINE),
            described.search(entry),
        )
        if checksum and description:
            yield checksum[1], description[1]


def paragraphs(description: str) -> list[str]:
    """The title of a description, then its paragraphs and the items of its lists, each in one line."""
    title, *lines = description.split("\n")
    found = [[title], []]
    for line in lines:
        if line.strip() == ".":
            found.append([])
        elif ITEM.match(line):
            found.append([ITEM.sub("", line, count=1)])
        else:
            found[-1].append(line)
    return [" ".join(" ".join(lines).split()) for lines in found if lines]


def sentence_pairs(descriptions: dict[str, str], translations: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(sentence, translation) in order of the alphabet, each sentence once."""
    found: dict[str, tuple[str, str]] = {}
    for key in sorted(descriptions.keys() & translations.keys()):
        for pair in aligned(paragraphs(descriptions[key]), paragraphs(translations[key])):
            for source, target in aligned(*(SENTENCE.split(text) for text in pair)):
                source, target = (text.strip().rstrip(" ;.,:") for text in (source, target))
                if fits(source, target):
                    found.setdefault(source.lower(), (source, target))
    yield from sorted(found.values())


def aligned(ours: list[str], theirs: list[str]) -> Iterator[tuple[str, str]]:
    """The parts of two texts in pairs, none where their numbers differ."""
    if len(ours) == len(theirs):
        yield from zip(ours, theirs, strict=True)


def fits(source: str, target: str) -> bool:
    """Whether a pair is a sentence of words and its translation, of lengths that agree."""
    if not target or source.lower() == target.lower() or not re.search("[a-z]{3}", source):
        return False
    words = WORDS[0] <= len(source.split()) <= WORDS[1] and len(target.split()) <= TRANSLATED
    return words and LENGTHS[0] < len(source) / len(target) < LENGTHS[1]


def debian_pairs(language: str) -> Iterator[tuple[str, str]]:
    """(English sentence, its translation) of the lists of this computer."""
    pairs = f"debian:en-{language}"
    yield from sentence_pairs(descriptions("en", pairs=pairs), descriptions(language, pairs=pairs))
