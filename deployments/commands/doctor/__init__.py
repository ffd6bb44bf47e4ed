"""`vibecheck doctor`: what is wrong with an installation, and what to do about it. One file for each kind of check.

Only `asknews` and `news_contract` know AskNews; the others look at what any Prefect project with this monitoring has.
"""
