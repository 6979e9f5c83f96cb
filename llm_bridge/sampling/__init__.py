"""Drawing responses from a decoder and scoring them: the same distribution in both."""
