"""What a notebook shows and tells: figures, results that prose quotes, profiles."""
