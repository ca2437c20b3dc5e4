"""Fine-tuning HaMeR: hands with marks in their pictures in, weights that the backend loads out."""
