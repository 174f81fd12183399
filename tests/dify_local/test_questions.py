"""The local apps answer questions from the documents, and say when the documents do not tell.

The questions were written beside the documents, not beside the rules: a rule that helps one of
them is to help its like.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dify_local._answers.extractive import NOTHING_FOUND, answer_from
from dify_local._answers.follow_ups import standalone_question
from dify_local._storage.conversations import Turn
from dify_local._storage.knowledge import SHIPPED_DOCUMENTS, Knowledge
from tests.dify_local.support import knowledge_over

QUESTIONS = [
    ("Which planets have rings?", ["Saturn", "Uranus", "Jupiter", "Neptune"]),
    ("What is the Sun made of?", ["hydrogen", "helium"]),
    ("How long is a year on Venus?", ["225"]),
    ("what planet is biggest??", ["Jupiter is the largest"]),
    ("Which planet has the most moons?", ["Saturn has the most"]),
    ("How many moons does Mars have?", ["two moons"]),
    ("Who discovered Uranus?", ["Herschel"]),
    ("When was Pluto discovered?", ["1930"]),
    ("Which planet is the hottest?", ["Venus"]),
    ("What is the coldest planet?", ["Uranus"]),
    ("How far is the Moon from the Earth?", ["384,400"]),
    ("How hot is the surface of Venus?", ["465"]),
    ("Who was the first person on the Moon?", ["Armstrong"]),
    ("What are the moons of Mars called?", ["Phobos", "Deimos"]),
    ("How long does light from the Sun take to reach us?", ["eight minutes"]),
    ("What is the Great Red Spot?", ["storm"]),
    ("How old is the Sun?", ["4.6 billion"]),
    ("What causes the seasons on Earth?", ["axis"]),
    ("Which planets have no moons?", ["Mercury", "Venus"]),
    ("What is the highest mountain on Mars?", ["Olympus Mons"]),
    ("When did Voyager 1 enter interstellar space?", ["2012"]),
    ("Which spacecraft visited Uranus?", ["Voyager 2"]),
    ("How wide are Saturn's rings?", ["280,000"]),
    ("Why is Uranus blue?", ["methane"]),
    ("Why does Mars look red?", ["iron oxide"]),
    ("How big is Jupiter?", ["142,984"]),
    ("What is the diameter of Mercury?", ["4,879"]),
    ("Which planet spins backwards?", ["Venus turns backwards"]),
    ("How many dwarf planets are there?", ["five"]),
    ("Name the dwarf planets.", ["Ceres", "Eris"]),
    ("Where is the asteroid belt?", ["between Mars and Jupiter"]),
    ("When will Halley's comet come back?", ["2061"]),
    ("Who was the first woman in space?", ["Tereshkova"]),
    ("How strong are the winds on Neptune?", ["2,100"]),
    ("What are comets made of?", ["ice and dust"]),
    ("Which is the largest moon in the solar system?", ["Ganymede"]),
    ("How long is a day on Jupiter?", ["ten hours"]),
    ("When did the James Webb telescope launch?", ["25 December 2021"]),
    ("How much of the Earth is covered by water?", ["71 percent"]),
    ("What is the smallest planet?", ["Mercury is the smallest"]),
    ("Which planet is closest to the sun?", ["Mercury"]),
    ("which planet is furthest away from the sun", ["Neptune"]),
    ("What happened in 1986 at Uranus?", ["Voyager 2"]),
    ("How many people have walked on the moon?", ["Twelve"]),
    ("What does Titan's lakes contain?", ["methane"]),
    ("Which planets are gas giants?", ["Jupiter"]),
    ("How long does Mercury need to orbit the Sun?", ["88 days"]),
    ("Is Pluto a planet?", ["dwarf planet"]),
    ("Does Venus have moons?", ["no moons"]),
    ("Who discovered the moons of Jupiter?", ["Galilei"]),
    ("How high is Olympus Mons?", ["22 kilometres"]),
    ("which planet is the least dense", ["Saturn is the least dense"]),
    ("What's the temperature on the surface of the Sun?", ["5,500"]),
    ("Which planets are ice giants?", ["Uranus", "Neptune"]),
    ("What colour is Uranus?", ["blue-green"]),
    ("How many moons has Uranus got?", ["28"]),
    ("Who was Yuri Gagarin?", ["first human in space"]),
    ("In which year did Cassini finish studying Saturn?", ["2017"]),
    ("Where did Philae land?", ["comet"]),
    ("How long does Neptune take to go around the Sun?", ["165"]),
    ("what's the hottest planet in the solar system", ["Venus"]),
    ("Which moon is the most volcanic?", ["Io"]),
    ("What is the biggest moon of Neptune?", ["Triton"]),
    ("How many planets are there?", ["eight planets"]),
    ("When was Sputnik launched?", ["1957"]),
    ("How hot does it get on Mercury during the day?", ["430"]),
    ("What is the atmosphere of Mars made of?", ["carbon dioxide"]),
    ("Which planet has the strongest winds?", ["Neptune"]),
    ("What is special about Europa?", ["ocean"]),
    ("What lies beyond Neptune?", ["Kuiper belt"]),
    ("How many rings does Uranus have?", ["13"]),
    ("Who discovered Pluto and when?", ["Tombaugh"]),
    ("Which rover landed on Mars in 2021?", ["Perseverance"]),
    ("Is there water ice on Mercury?", ["Ice of water"]),
    ("Which planet is the densest?", ["densest planet"]),
    ("How thick are the rings of Saturn?", ["tens of metres"]),
    ("What does OSIRIS-REx do?", ["Bennu"]),
    ("how far away is mars from the sun?", ["228"]),
    ("When did Voyager 2 fly by Neptune?", ["1989"]),
    ("Why do comets have tails?", ["tail"]),
    ("Why does the Moon always show the same side?", ["turns once on its axis"]),
    ("What is a dwarf planet?", ["orbits the Sun and is round"]),
    ("How many moons does the Earth have?", ["one moon"]),
    ("Which planet has the shortest day?", ["Jupiter"]),
    ("What is the smallest dwarf planet?", ["Ceres"]),
    ("Who walked on the Moon first?", ["Armstrong"]),
    ("Which spacecraft is farthest from Earth?", ["Voyager 1"]),
    ("How old is the Earth?", ["4.5 billion"]),
    ("which planets have moons?", ["Mars", "Jupiter", "Saturn"]),
    ("What are the names of the four largest moons of Jupiter?", ["Ganymede", "Callisto"]),
    ("What's the mass of the Sun?", ["99.86"]),
    ("How cold is Uranus?", ["224"]),
    ("What percent of the atmosphere is nitrogen?", ["78"]),
    ("Tell me something about Enceladus", ["Enceladus"]),
    ("Where is Olympus Mons?", ["Mars"]),
    ("How long is a day on Venus?", ["243"]),
    ("What is Triton?", ["Triton is the largest moon"]),
    ("When did people first land on the moon?", ["1969"]),
    ("which planet is known as the red planet", ["Mars"]),
    ("What do Saturn's rings consist of?", ["ice"]),
    ("Which planet has rings?", ["rings"]),
    ("Does Saturn have rings?", ["rings"]),
    ("what is jupiter made of", ["hydrogen"]),
    ("How many days does a year on Mercury have?", ["88"]),
    ("Who found the moons of Mars?", ["Hall"]),
    ("What year was Neptune discovered?", ["1846"]),
    ("How far is Neptune from the Sun?", ["4.5 billion"]),
    ("Why is Venus hotter than Mercury?", ["greenhouse"]),
    ("What is the largest volcano in the solar system?", ["Olympus Mons"]),
    ("Are there any planets with life?", ["Earth"]),
    ("Which planets are made of rock?", ["Mercury"]),
    ("how many known moons does saturn have", ["274"]),
    ("Name the moons of Mars", ["Phobos"]),
    ("What do we know about Eris?", ["Eris"]),
    ("What is the Kuiper Belt?", ["Kuiper belt"]),
    ("Which mission studied Saturn?", ["Cassini"]),
    ("What was the first artificial satellite?", ["Sputnik 1"]),
    ("How high does the ISS orbit?", ["400 kilometres"]),
    ("How high does the International Space Station fly?", ["400 kilometres"]),
    ("How long does the ISS need for one orbit?", ["90 minutes"]),
    ("When did humans first walk on the Moon?", ["1969"]),
    ("What is the temperature of the Sun's core?", ["15 million"]),
    ("How big is the Sun compared to Earth?", ["109"]),
    ("How long is a sunspot cycle?", ["eleven years"]),
    ("Which planet is nearest to the Sun?", ["Mercury"]),
    ("What is the second largest planet?", ["Saturn is the second largest"]),
    ("What is the second largest moon in the solar system?", ["Titan"]),
    ("What causes tides?", ["Moon causes"]),
    ("What does the Galilean moons mean?", ["Galile"]),
    ("How often does Halley's comet return?", ["75 to 79"]),
    ("Which spacecraft landed on Titan?", ["Huygens"]),
    ("What is Ceres?", ["Ceres"]),
    ("Who discovered Titan?", ["Huygens"]),
    ("What happened on 20 July 1969?", ["Armstrong"]),
    ("Why isn't Pluto a planet any more?", ["dwarf planet"]),
    ("Which planet has the longest year?", ["Neptune"]),
    ("Which planet has a helicopter?", ["Ingenuity"]),
    ("what are saturns rings made of?", ["ice"]),
    ("How long does a day last on Saturn?", ["10 hours"]),
    ("how many moons are there around neptune?", ["16"]),
    ("Which planets don't have moons?", ["Mercury", "Venus"]),
    ("What planet did William Herschel discover?", ["Uranus"]),
    ("Who discovered Neptune's moon Triton?", ["Lassell"]),
    ("Which is bigger, Ganymede or Mercury?", ["more than that of the planet Mercury"]),
    ("Is Jupiter bigger than Saturn?", ["Jupiter is the largest"]),
    ("How many Earths wide is the Sun?", ["109"]),
    ("What gas makes Uranus look blue?", ["methane"]),
    ("Where is Phobos?", ["Mars"]),
    ("What is the name of Pluto's biggest moon?", ["Charon"]),
    ("Which planet is the windiest?", ["Neptune"]),
    ("How many moons does Neptune have?", ["16"]),
    ("How many moons does Venus have?", ["no moons"]),
    ("Who was first to see Saturn's rings?", ["Galile"]),
    ("What did New Horizons visit?", ["Pluto"]),
    ("When did New Horizons pass Pluto?", ["2015"]),
    ("how long is a mars day", ["24 hours and 37"]),
    ("What is on the Voyager record?", ["sounds and images"]),
    ("What is the biggest thing in the asteroid belt?", ["Ceres"]),
    ("What pressure does Venus have?", ["92 times"]),
    ("What are the clouds of Venus made of?", ["sulphuric acid"]),
    ("Which moon orbits backwards?", ["Triton"]),
    ("Which moons does Mars have?", ["Phobos", "Deimos"]),
    ("Give me the moons of Jupiter", ["Io", "Europa"]),
    ("Is there an ocean on Europa?", ["ocean"]),
    ("Which moons have an ocean?", ["Europa", "Enceladus"]),
    ("When was the ISS first inhabited?", ["2000"]),
    ("What percentage of the solar system's mass is the Sun?", ["99.86"]),
    ("How tilted is Earth's axis?", ["23.4"]),
    ("At what angle is Uranus tilted?", ["98"]),
    ("What colour is Mars?", ["red"]),
    ("What is the name of Eris' moon?", ["Dysnomia"]),
    ("Which probe mapped Venus by radar?", ["Magellan"]),
    ("When did MESSENGER orbit Mercury?", ["2011"]),
    ("What is the diameter of the moon?", ["3,474"]),
    ("How many hours are there in a day on Mars?", ["24 hours"]),
    ("whats the average temperature on mars", ["63"]),
    ("Who discovered Ceres?", ["Piazzi"]),
    ("In what year was Uranus found?", ["1781"]),
    ("What is the third planet from the sun?", ["Earth is the third"]),
    ("What's the eighth planet?", ["Neptune is the eighth"]),
    ("What is methane doing on Titan?", ["methane"]),
    ("Why is Neptune blue?", ["methane"]),
    ("How many spacecraft visited Neptune?", ["only visit"]),
    ("Who calculated where Neptune must be?", ["Le Verrier"]),
    ("What brought samples of Bennu?", ["OSIRIS"]),
    ("What can you tell me about the Sun?", ["Sun is"]),
    ("Do comets have tails?", ["tail"]),
    ("What is the closest star to Earth?", ["closest star"]),
]

NOT_TOLD = [
    "What is the speed of light?",
    "What is the population of France?",
    "Who wrote Hamlet?",
    "How many people live on Mars?",
    "What is a good recipe for pancakes?",
    "What is the capital of Mars?",
    "Who built the Eiffel tower?",
    "What is the best programming language?",
    "What is the price of gold?",
    "Which football club won the cup in 2012?",
    "Can I return my order within 30 days?",
    "Who is the president of the United States?",
    "What is dark matter?",
    "How many stars are in the Milky Way?",
    "Who is Albert Einstein?",
    "What is the weather like in Berlin?",
    "How do I install Python?",
    "What is the boiling point of water?",
    "When was the telephone invented?",
    "How much does a rocket cost?",
    "What's the gravity on Mars?",
    "Which planet did Mariner 9 visit?",
    "What is a good name for a cat?",
    "How many calories does an apple have?",
    "Who painted the Mona Lisa?",
    "What is the time in Tokyo?",
    "Tell me a joke",
    "What is the meaning of life?",
    "How tall is Mount Kilimanjaro?",
    "How many inhabitants does Earth have?",
    "hello",
]

CONVERSATIONS = [
    [
        ("How many moons does Jupiter have?", "97"),
        ("And Mars?", "two moons"),
        ("What are they called?", "Phobos"),
    ],
    [
        ("Which planet has the most moons?", "Saturn"),
        ("How long is a year there?", "29"),
        ("Does it have rings?", "rings"),
    ],
    [
        ("Who discovered Uranus?", "Herschel"),
        ("When?", "1781"),
        ("How many moons does it have?", "28"),
    ],
    [
        ("What is the largest moon of Saturn?", "Titan"),
        ("Does it have an atmosphere?", "dense atmosphere"),
    ],
    [
        ("Tell me about Venus.", "Venus"),
        ("How hot is it?", "465"),
        ("How long is its year?", "225"),
        ("Does it have moons?", "no moons"),
    ],
    [
        ("What moons has Jupiter?", "Jupiter"),
        ("Which of those is the largest?", "Ganymede"),
        ("Who discovered them?", "Galilei"),
    ],
    [
        ("Which planet is the smallest?", "Mercury"),
        ("and the largest?", "Jupiter"),
        ("And which is the hottest?", "Venus"),
    ],
    [("Who was the first man on the Moon?", "Armstrong"), ("When was that?", "1969")],
    [
        ("Tell me about Pluto", "Pluto"),
        ("Who found it?", "Tombaugh"),
        ("What is its largest moon?", "Charon"),
        ("And Neptune's?", "Triton"),
    ],
    [
        ("How long is a day on Mars?", "24 hours"),
        ("What about Jupiter?", "ten hours"),
        ("and a year on Mars?", "687"),
    ],
    [("When was the James Webb Space Telescope launched?", "2021"), ("And Hubble?", "1990")],
    [
        ("Which planet is the largest?", "Jupiter"),
        ("How many moons does it have?", "97"),
        ("Which one is the biggest?", "Ganymede"),
        ("How wide is it?", "5,268"),
    ],
    [("How hot is Venus?", "465"), ("And Mercury?", "430"), ("Why is Venus so hot?", "greenhouse")],
    [
        ("What is the hottest planet?", "Venus"),
        ("and the coldest?", "Uranus"),
        ("How cold is it there?", "224"),
    ],
    [
        ("Tell me about Titan", "Titan"),
        ("Who discovered it?", "Huygens"),
        ("What do its lakes hold?", "methane"),
    ],
    [
        ("How far is Mars from the Sun?", "228"),
        ("And Jupiter?", "778"),
        ("and what about Neptune", "4.5 billion"),
    ],
    [
        ("Which planets have rings?", "Saturn"),
        ("What are Saturn's made of?", "ice"),
        ("How wide are they?", "280,000"),
    ],
    [
        ("Who was the first human in space?", "Gagarin"),
        ("When was that?", "1961"),
        ("And the first woman?", "Tereshkova"),
    ],
    [("When was Uranus discovered?", "1781"), ("By whom?", "Herschel"), ("And Neptune?", "Galle")],
    [
        ("What is the largest moon of Jupiter?", "Ganymede"),
        ("What is its diameter?", "5,268"),
        ("And of Titania?", "1,578"),
    ],
    [("How long is a year on Mars?", "687"), ("And on Saturn?", "29")],
    [
        ("What are the moons of Mars?", "Phobos"),
        ("Who discovered those?", "Hall"),
        ("Which is larger?", "Phobos is the larger"),
    ],
    [("How many moons does Saturn have?", "274"), ("Which is the largest of them?", "Titan")],
    [
        ("What is the closest planet to the Sun?", "Mercury"),
        ("How hot does it get?", "430"),
        ("How long is its year?", "88"),
        ("And that of Mars?", "687"),
    ],
    [
        ("Tell me about Jupiter's Great Red Spot.", "storm"),
        ("How big is it?", "wider than the Earth"),
    ],
    [
        ("Who discovered Pluto?", "Tombaugh"),
        ("When?", "1930"),
        ("And Eris?", "2005"),
        ("How many moons does Pluto have?", "five"),
    ],
    [("Which planets are gas giants?", "Jupiter"), ("And ice giants?", "Uranus")],
    [("What is Voyager 1?", "Voyager 1"), ("When was it launched?", "1977")],
    [
        ("Which planet is the hottest?", "Venus"),
        ("Why?", "greenhouse"),
        ("What is its atmosphere made of?", "carbon dioxide"),
        ("And that of Mars?", "carbon dioxide"),
    ],
    [
        ("How wide is the Earth?", "12,756"),
        ("What about the Moon?", "3,474"),
        ("How far away is it?", "384,400"),
    ],
    [("And Perseverance?", "2021"), ("What did it carry?", "Ingenuity")],
    [
        ("Does Mars have moons?", "Phobos"),
        ("How big are they?", "22 kilometres"),
        ("Who found them?", "Hall"),
    ],
    [
        ("Which planet is the red planet?", "Mars"),
        ("Why is it red?", "iron oxide"),
        ("How many moons does it have?", "two"),
        ("What are their names?", "Phobos"),
    ],
    [("What is Enceladus?", "Enceladus"), ("Which planet does it orbit?", "Saturn")],
    [
        ("Who walked on the Moon first?", "Armstrong"),
        ("When did he do that?", "1969"),
        ("How many people were there?", "Twelve"),
    ],
    [("How long is a year on Earth?", "365"), ("On Uranus?", "84"), ("And a day?", "17 hours")],
    [("How many moons does Pluto have?", "five"), ("Name the largest.", "Charon")],
    [
        ("What is the Great Red Spot?", "storm"),
        ("On which planet is it?", "Jupiter"),
        ("What is that planet made of?", "hydrogen"),
    ],
    [
        ("Tell me about Neptune", "Neptune"),
        ("its moons?", "16"),
        ("and rings?", "rings"),
        ("how far from the sun?", "4.5 billion"),
    ],
]


@pytest.fixture(scope="module")
def knowledge() -> Iterator[Knowledge]:
    with knowledge_over(SHIPPED_DOCUMENTS) as shipped:
        yield shipped


@pytest.mark.parametrize(("question", "facts"), QUESTIONS)
def test_a_question_is_answered(knowledge: Knowledge, question: str, facts: list[str]) -> None:
    answer, hits = answer_from(knowledge, question)
    assert [fact for fact in facts if fact not in answer] == [], answer
    assert answer.startswith("According to the document")
    # What is said is cited.
    assert all(any(part in hit.segment.content for hit in hits) for part in _sentences(answer))


def _sentences(answer: str) -> list[str]:
    return [part for part in answer.partition(": ")[2].split(". ") if part]


@pytest.mark.parametrize("question", NOT_TOLD)
def test_what_the_documents_do_not_tell_is_said(knowledge: Knowledge, question: str) -> None:
    assert answer_from(knowledge, question) == (NOTHING_FOUND, [])


@pytest.mark.parametrize("turns", CONVERSATIONS, ids=lambda turns: turns[0][0])
def test_a_question_may_refer_back(knowledge: Knowledge, turns: list[tuple[str, str]]) -> None:
    history: list[Turn] = []
    for question, fact in turns:
        alone = standalone_question(question, history, knowledge.titles())
        answer, _ = answer_from(knowledge, alone)
        assert fact in answer, f"{alone} -> {answer}"
        history.append(Turn(question, answer))


@pytest.mark.parametrize(
    ("question", "before", "answer", "alone"),
    [
        ("And Mars?", "How many moons has Jupiter?", "97.", "How many moons has Mars?"),
        ("What is its diameter?", "Who discovered Uranus?", "Herschel.",
         "What is Uranus's diameter?"),
        ("and the smallest?", "Which planet is the largest?", "Jupiter.",
         "Which planet is the smallest?"),
        ("When?", "Who discovered Uranus?", "Herschel.", "When discovered Uranus?"),
        ("Who discovered Titan?", "Which planet is the largest?", "Jupiter.",
         "Who discovered Titan?"),
    ],
)  # fmt: skip
def test_what_a_question_refers_to_is_put_in(
    question: str, before: str, answer: str, alone: str
) -> None:
    assert standalone_question(question, [Turn(before, answer)], ["Jupiter"]) == alone
    assert standalone_question(question, []) == question


def test_questions_about_own_documents(tmp_path: Path) -> None:
    """The rules are not those of the solar system."""
    texts = {
        "museum": "# Museum\n\nThe city museum opens at 10:00 on Friday. Admission costs 8 euros. "
        "It was founded by Ada Berg in 1902. The museum shows 240 paintings.",
        "library": "# Library\n\nThe public library opens at 9:00 on Monday. It is the oldest "
        "building of the town. Books can be kept for four weeks.",
    }
    expected = {
        "When does the museum open on Friday?": "10:00",
        "Who founded the museum?": "Ada Berg",
        "How many paintings does the museum show?": "240 paintings",
        "Which building is the oldest?": "oldest building",
        "How long can I keep books?": "four weeks",
        "Where is the swimming pool?": NOTHING_FOUND,
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.md").write_text(text)
    with knowledge_over(tmp_path) as knowledge:
        for question, fact in expected.items():
            assert fact in answer_from(knowledge, question)[0], question
