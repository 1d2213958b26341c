"""Many decisions at once: tables of requests in (`requests.py`), tables of offers out (`answering.py`)."""
