"""What `nba demo` plays: the truth about a real log, a made-up call, and measured latency. Data first (one file an act), then `telling` prints."""
