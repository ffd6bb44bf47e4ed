"""One story as AskNews sends it: every field of the contract, and those that the official SDK insists on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from deployments.sandbox.article_fields import CONTINENTS, entity_lists, iso
from deployments.sandbox.articles import Article
from deployments.sandbox.content_files import TONE_NAMES, Content
from deployments.sandbox.draw import Draw
from deployments.sandbox.story_plot import HOUR, Plot, Update, press_sentiment, reddit_sentiment
from deployments.sandbox.writing import slug, write

PLACEHOLDER_TOPIC = "auto_generated"
_ARTICLE_IDS_SENT = 40
_MOST_THREADS = 6


@dataclass(frozen=True)
class Wanted:
    """How much of each story is asked for."""

    expand_updates: bool = False
    max_updates: int = 2
    max_articles: int = 5
    reddit: int = 0


def story_payload(
    content: Content, plot: Plot, articles: Sequence[Article], now: int, wanted: Wanted
) -> dict[str, object]:
    """Return the JSON of `plot` as it stands at `now`; `articles` are those about it, newest first."""
    refreshed_at = plot.refreshed_at(now)
    updates = plot.updates_until(now)
    series = press_sentiment(plot, now)
    # Nothing of Reddit comes unless it is asked for.
    reddit_at, reddit_values = reddit_sentiment(plot, now) if wanted.reddit else ([], [])
    countries, languages = _counts(articles, "country"), _counts(articles, "language")
    sent_updates = updates[: wanted.max_updates] if wanted.expand_updates else []
    return {
        "uuid": str(plot.story_id),
        "topic": PLACEHOLDER_TOPIC,
        "topics": list(plot.arc.topics),
        "categories": list(plot.arc.categories),
        "keywords": _keywords(plot),
        "locations": [plot.words["city"]],
        "people": [plot.words["analyst"]],
        "countries": countries,
        "countries_pct": _shares(countries),
        "languages": languages,
        "languages_pct": _shares(languages),
        "sources": _counts(articles, "name"),
        "sources_urls": _counts(articles, "domain"),
        "n_articles": [len(_known(articles, update)) for update in updates],
        "n_updates": len(updates),
        "update_uuids": [str(update.update_id) for update in updates],
        "current_update_uuid": str(updates[0].update_id),
        "requested_update_uuid": str(updates[0].update_id),
        "updated_ts": refreshed_at,
        "sentiment": series.values,
        "sentiment_timestamps": series.at,
        "rolling_sentiment": series.rolling,
        "reddit_sentiment": reddit_values,
        "reddit_sentiment_timestamps": reddit_at,
        "generate_image": False,
        "meta_type": "story",
        "updates": [_update_payload(content, plot, update, articles, refreshed_at, wanted) for update in sent_updates],
    }


def _update_payload(
    content: Content, plot: Plot, update: Update, articles: Sequence[Article], refreshed_at: int, wanted: Wanted
) -> dict[str, object]:
    known = _known(articles, update)
    countries, languages = _counts(known, "country"), _counts(known, "language")
    tone = TONE_NAMES[update.tone]
    threads = _threads(content, plot, update, refreshed_at)[: wanted.reddit]
    draw = Draw("update", update.update_id)
    return {
        "uuid": str(update.update_id),
        "story_uuid": str(plot.story_id),
        "story_update_ts": update.at,
        "headline": update.headline,
        "story": update.story,
        "key_takeaways": [update.takeaway],
        "new_information": update.takeaway,
        "contradictions": [],
        "article_ids": [str(article.stamp.article_id) for article in known[:_ARTICLE_IDS_SENT]],
        "n_articles": len(known),
        "cluster_articles": [article.payload for article in known[: wanted.max_articles]],
        "prompt_articles": [article.payload for article in known[: min(1, wanted.max_articles)]],
        "entities": entity_lists(
            {"Location": (plot.words["city"],)} | ({} if plot.arc.is_homonym else plot.subject.evidence)
        ),
        "keywords": _keywords(plot),
        "people": [plot.words["analyst"]],
        "locations": [plot.words["city"]],
        "categories": list(plot.arc.categories),
        "countries": countries,
        "countries_pct": _shares(countries),
        "languages": languages,
        "languages_pct": _shares(languages),
        "sources_urls": _counts(known, "domain"),
        "continent": CONTINENTS.get(next(iter(countries), ""), "North America"),
        "markdown_citations": [str(article.payload["markdown_citation"]) for article in known[: wanted.max_articles]],
        "image_url": f"https://images.stories.example/{update.update_id}.jpg",
        "cc_image_url": "",
        "display_image_urls": [],
        "image_prompt": "",
        "url_safe_title": slug(update.headline),
        "intra_cluster_statistics": {"cluster_probabilities": {}},
        "silhouette_score": {},
        "relationships": {"nodes": [], "edges": []},
        "mermaid": "",
        "alignment": draw.number(1, 5),
        "confidence": draw.number(60, 99) / 100,
        "provocative": "medium" if update.tone == -1 else "low",
        "reporting_voice": "Objective",
        "reddit_perspective": {
            "sentiment": update.tone if threads else 0,
            "relevant": bool(threads),
            "summary": f"Users of Reddit take a {tone} view." if threads else "",
        },
        "reddit_threads": threads,
    }


def _threads(content: Content, plot: Plot, update: Update, refreshed_at: int) -> list[dict[str, object]]:
    """The Reddit threads about an update, newest first; votes and comments grow with time."""
    count = Draw("threads", update.update_id).number(1, _MOST_THREADS)
    threads = [_thread(content, plot, update, number, refreshed_at) for number in range(count)]
    begun = [(at, thread) for at, thread in threads if at <= refreshed_at]
    return [thread for _, thread in sorted(begun, key=lambda one: one[0], reverse=True)]


def _thread(
    content: Content, plot: Plot, update: Update, number: int, refreshed_at: int
) -> tuple[int, dict[str, object]]:
    draw = Draw("thread", update.update_id, number)
    tone = TONE_NAMES[update.tone]
    at = update.at + draw.number(0, 3 * HOUR)
    hours = max(0, refreshed_at - at) / HOUR
    grown = hours / (hours + 6)
    subreddit = draw.pick(plot.subject.subreddits)
    authors, texts = content.reddit.comments.authors, content.reddit.comments.texts
    words = {**plot.words, "headline": update.headline}
    title = update.headline if plot.arc.is_homonym else write(draw.pick(content.reddit.titles[tone]), words)
    thread_id = draw.uuid()
    subreddit_url = f"https://www.reddit.example/r/{subreddit}"
    comments_count = int(draw.number(4, 160) * grown)
    return at, {
        "id": str(thread_id),
        "title": title,
        "url": f"{subreddit_url}/comments/{thread_id.hex[:7]}/{slug(title)}",
        "subreddit_name": subreddit,
        "subreddit_url": subreddit_url,
        "date": iso(at),
        "upvotes": int(draw.number(10, 2_400) * grown),
        "comments_count": comments_count,
        "sentiment": round((update.tone + draw.number(-60, 60) / 100) / 1.6, 2),
        "summary": f"{title}. Opinions differ.",
        "author": draw.pick(authors),
        "author_comment_karma": draw.number(10, 90_000),
        "author_link_karma": draw.number(1, 20_000),
        "body": write(draw.pick(content.reddit.bodies[tone]), words),
        "comments": [
            {
                "author": draw.pick(authors),
                "body": write(draw.pick(texts), words),
                "date": iso(at),
                "upvotes": draw.number(0, 90),
            }
            for _ in range(min(2, comments_count))
        ],
        "classification": "discussion",
        "entities": {"ORG": [] if plot.arc.is_homonym else [plot.subject.maker]},
        "key_takeaways": [update.takeaway],
        "keywords": _keywords(plot),
        "topic": plot.arc.topics[0],
        "main_speculation": "",
    }


def _keywords(plot: Plot) -> list[str]:
    return [*plot.mentions, *plot.arc.topics]


def _known(articles: Sequence[Article], update: Update) -> list[Article]:
    """The articles that had been crawled when the update was written."""
    return [article for article in articles if article.stamp.crawled_at <= update.at]


def _counts(articles: Sequence[Article], field: str) -> dict[str, int]:
    return dict(Counter(str(getattr(article.outlet, field)) for article in articles).most_common())


def _shares(counts: dict[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {name: round(count / total, 3) for name, count in counts.items()}
