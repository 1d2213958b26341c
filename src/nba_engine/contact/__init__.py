"""What each subject was shown and has answered, and which candidates that suppresses now, until when, and by what.

`history.py` keeps the events, `rules.py` compiles a catalog's contact policies and reasons, `suppression.py` closes candidates on the hot
path, `listing.py` says the same by name. Consent is a fact of the channel and not judged here.
"""
