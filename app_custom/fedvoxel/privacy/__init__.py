"""What a claim of differential privacy needs: mechanisms, noise, accounting and the words of the claim. No torch."""
