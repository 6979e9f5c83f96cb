"""A prompt, or many questions, as a bandit: responses are arms, generating is pulling, the verifier is the reward."""
