"""What every room needs: errors, option declarations, progress, cache, output, threads."""
