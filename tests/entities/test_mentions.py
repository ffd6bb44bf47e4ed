"""The ten tracked entities against texts as they occur, traps included."""

import pytest

from flows.entities import EntityMatcher, load_tracked

CLAUDE, COPILOT, CURSOR, GEMINI, GPT = "Claude", "GitHub Copilot", "Cursor", "Gemini", "GPT-4o"
LLAMA, LOVABLE, MISTRAL, REPLIT, V0 = "Llama", "Lovable", "Mistral", "Replit", "v0"

MATCHER = EntityMatcher(load_tracked())

MENTIONS: list[tuple[str, set[str]]] = [
    # every canonical name, and the ways people write it
    ("OpenAI retires GPT-4o next month", {GPT}),
    ("gpt 4o is cheaper now", {GPT}),
    ("GPT4o and its voice mode", {GPT}),
    ("GPT\u20114o with a non-breaking hyphen", {GPT}),
    ("GPT\u20134o with an en dash", {GPT}),
    ("ChatGPT-4o answered in a second", {GPT}),
    ("gpt-4o-mini-2024-07-18 is deprecated", {GPT}),
    ("ChatGPT's 4o model is back", {GPT}),
    ("Anthropic's Claude refused to answer", {CLAUDE}),
    ("Claude Sonnet tops the leaderboard", {CLAUDE}),
    ("Claude Code now runs on the web", {CLAUDE}),
    ("Claude 3.5 Sonnet is retired", {CLAUDE}),
    ("Teams move to Claude-4", {CLAUDE}),
    ("Opus 4.5 writes better tests", {CLAUDE}),
    ("Visit claude.ai to sign in", {CLAUDE}),
    ("A new #ClaudeCode plugin", {CLAUDE}),
    ("Gemini Pro is free for students", {GEMINI}),
    ("Gemini 2.5 is out", {GEMINI}),
    ("Google builds a Gemini-powered assistant", {GEMINI}),
    ("Google\u2019s Gemini gets a memory", {GEMINI}),
    ("Gemini\u2122 comes to Android phones", {GEMINI}),
    ("Llama 3.1 runs on a laptop", {LLAMA}),
    ("llama3.1 runs on a laptop", {LLAMA}),
    ("Meta-Llama-3.1-405B-Instruct", {LLAMA}),
    ("Code Llama is no longer maintained", {LLAMA}),
    ("Mistral AI raises 1.7 billion euros", {MISTRAL}),
    ("Mistral's Le Chat learns to remember", {MISTRAL}),
    ("Mixtral 8x7B in production", {MISTRAL}),
    ("Cursor, the AI code editor by Anysphere", {CURSOR}),
    ("cursor.com was down for an hour", {CURSOR}),
    ("i moved from windsurf to cursor and back", {CURSOR}),
    ("v0.dev makes a page from a sketch", {V0}),
    ("Vercel\u2019s v0 learns to query databases", {V0}),
    ("v0, a vibe coding tool", {V0}),
    ("Lovable.dev doubles its revenue", {LOVABLE}),
    ("Lovable, the Swedish startup, raises again", {LOVABLE}),
    ("GitHub Copilot gets an agent mode", {COPILOT}),
    ("Copilot now reviews every pull request", {COPILOT}),
    ("Replit deletes a production database", {REPLIT}),
    ("A Repl.it veteran looks back", {REPLIT}),
    # several in one text
    ("GPT-4o, Claude and Gemini compared", {GPT, CLAUDE, GEMINI}),
    ("Claude vs Gemini: which one is better?", {CLAUDE, GEMINI}),
    ("Developers pick Cursor over GitHub Copilot; Replit and Lovable follow", {CURSOR, COPILOT, REPLIT, LOVABLE}),
    ("Open weights: Llama 4 and Mistral Large", {LLAMA, MISTRAL}),
    ("Cursor adds Claude Opus and GPT-4o to its AI editor", {CURSOR, CLAUDE, GPT}),
    # the text around a name
    ("Claude's constitution, says Anthropic", {CLAUDE}),
    ("“Claude”, Anthropic said, “is ready”", {CLAUDE}),
    ("ANTHROPIC UNVEILS CLAUDE", {CLAUDE}),
    ("\uff23\uff4c\uff41\uff55\uff44\uff45 by Anthropic, in full-width letters", {CLAUDE}),
    ("ClaudeはAIです", {CLAUDE}),
    ("Anthropic发布Claude新模型", {CLAUDE}),
    ("생성형 인공지능 Claude는 빠르다", {CLAUDE}),
    ("GPT-4oの使い方", {GPT}),
    ("グーグルがGeminiを発表", {GEMINI}),
    ("谷歌发布Gemini新模型", {GEMINI}),
    ("구글이 Gemini를 공개했다", {GEMINI}),
    ("谷歌今日在加州山景城的年度开发者大会上正式发布Gemini", {GEMINI}),
    ("Geminiは双子座の意味で、多くの人がそのように思っているが、実はグーグルとは何の関係もない", set()),
    ("Гугл показал Gemini", {GEMINI}),
    ("جوجل تطلق Gemini", {GEMINI}),
    ("アンソロピックのClaude", {CLAUDE}),
    ("앤트로픽의 Claude", {CLAUDE}),
    ("Geminiは双子座です", set()),
    # as HTML
    ("Anthropic&#8217;s&nbsp;Claude", {CLAUDE}),
    ("GitHub&nbsp;Copilot &amp; Replit", {COPILOT, REPLIT}),
    ("GPT&#x2011;4o", {GPT}),
    ("Claude&amp;nbsp;Code", {CLAUDE}),
    ("Cla&shy;ude Code", {CLAUDE}),
    ("Claude &mdash; Anthropic&rsquo;s model", {CLAUDE}),
    ("AT&T and R&D", set()),
    ("&#0;&#xD800;&nosuch;&", set()),
    ("Cla\u00adude Code with a soft hyphen", {CLAUDE}),
    ("Cla\u0337ude Code with an overlay", {CLAUDE}),
    ("GPT-4o¹ with a footnote", {GPT}),
    ("<b>Replit</b>/v0.app", {REPLIT, V0}),
    (
        "Claude Monet would have liked it. A show has twelve pictures that somebody had painted by Anthropic's Claude",
        {CLAUDE},
    ),
    ("Claude Monet is remembered in Giverny. " + "Nothing else happens here. " * 5 + "Claude Code ships.", {CLAUDE}),
    # traps
    ("", set()),
    ("   \n\t ", set()),
    ("dev", set()),
    ("Precursor", set()),
    ("The Precursor of modern AI coding tools", set()),
    ("A pre-cursor to AI coding", set()),
    ("Claude Monet", set()),
    ("Claude Monet's garden, imagined by AI", set()),
    ("Jean-Claude Juncker warns about AI", set()),
    ("Claude Shannon, the father of information theory, foresaw AI chatbots", set()),
    ("Claude Debussy's Clair de lune", set()),
    ("Claude fishes on Sundays", set()),
    ("Claudette prompts an AI chatbot", set()),
    ("Claude parla ai giornalisti", set()),
    ("Claude, 3 ans, joue", set()),
    ("Gemini horoscope", set()),
    ("Gemini: your horoscope for today, written by AI", set()),
    ("She is a Gemini and works at Google", set()),
    ("Gemini, the Winklevoss crypto exchange, adopts AI", set()),
    ("NASA's Gemini 4 carried two astronauts", set()),
    ("Project Gemini flew ten crews", set()),
    ("mouse cursor", set()),
    ("Control the mouse cursor with AI", set()),
    ("Close the SQL cursor before you commit", set()),
    ("An AI agent moves the cursor over the button", set()),
    ("the cursor blinks in your code editor", set()),
    ("A llama escaped from a farm in Ohio", set()),
    ("Ollama and LlamaIndex", set()),
    ("llama.cpp gets faster", set()),
    ("The mistral blows through Provence", set()),
    ("Mistral-class helicopter carriers", set()),
    ("Le chat dort", set()),
    ("a lovable AI companion for children", set()),
    ("Meet a Lovable Robot with AI inside", set()),
    ("He is the most lovable character", set()),
    ("firmware v0.9.1 released", set()),
    ("API v0 is deprecated", set()),
    ("Built with v0. Dev teams are happy", set()),
    ("ab v0x v01 xv0 Vercel", set()),
    ("Microsoft Copilot reads your mail", set()),
    ("Copilot+ PCs come with a new key for code completion", set()),
    ("The copilot left the cockpit", set()),
    ("GPT-4 and GPT-4ocean", set()),
    ("GPT-4o1", set()),
    ("Replitting the data", set()),
    ("Use Claude\nCode quality improves", set()),
    ("Move to Cursor. AI follows", {CURSOR}),
]


@pytest.mark.parametrize(("text", "expected"), MENTIONS, ids=[text[:50] or "empty" for text, _ in MENTIONS])
def test_a_text_mentions_exactly_the_expected_entities(text: str, expected: set[str]) -> None:
    assert set(MATCHER.mentioned(text)) == expected


EVIDENCE: list[tuple[str, list[str], set[str]]] = [
    ("", ["Claude"], {CLAUDE}),
    ("A new model was shown today", ["Claude 4 Opus", "GPT-4o"], {CLAUDE, GPT}),
    ("Claude is out", ["Claude"], {CLAUDE}),
    ("Cursor is out", ["Cursor"], {CURSOR}),
    ("Gemini\u2019s horoscope", ["Gemini"], set()),
    ("Claude Monet", ["Claude"], set()),
    ("Claude Monet", ["Claude Monet"], set()),
    ("Put the mouse cursor here", ["Cursor"], set()),
    ("The cursor blinks", ["cursor"], set()),
    ("Copilot is out", ["Copilot"], set()),
    ("Copilot is out", ["GitHub Copilot"], {COPILOT}),
    ("", ["Precursor", "Claudette", "dev", "", " ", "Copilot"], set()),
    ("", ["Claude (Anthropic)"], {CLAUDE}),
    ("Gemini 3 is out", [], set()),
    ("Gemini 3 is out", ["Gemini 3"], {GEMINI}),
    ("Cursor 2.0 is out", ["Cursor 2.0"], {CURSOR}),
    ("Mistral Capital buys a hotel", ["Mistral Capital"], set()),
    ("NASA's Gemini 4 carried two astronauts", ["Gemini 4"], set()),
    ("Zodiac signs", ["Gemini"], set()),
]


@pytest.mark.parametrize(("text", "evidence", "expected"), EVIDENCE)
def test_evidence_stands_for_context_but_not_against_the_text(
    text: str, evidence: list[str], expected: set[str]
) -> None:
    assert set(MATCHER.mentioned(text, evidence)) == expected


def test_a_persons_full_name_is_no_mention_even_near_context() -> None:
    text = "Claude Dupont Explains AI to Children"
    assert MATCHER.mentioned(text) == (CLAUDE,)
    assert MATCHER.mentioned(text, people=["Claude Dupont"]) == ()
    assert MATCHER.mentioned(text + ", with Claude Code", people=["Claude Dupont"]) == (CLAUDE,)


def test_a_person_of_one_word_says_nothing() -> None:
    assert MATCHER.mentioned("Anthropic updates Claude", people=["Claude"]) == (CLAUDE,)
