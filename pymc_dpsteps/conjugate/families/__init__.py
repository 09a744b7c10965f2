"""Conjugate families: sufficient statistics, log marginal and posterior draw, compiled."""
