"""What is measured while training: STS (Algorithm 1) and how well ACP separates (Fig. 7)."""
