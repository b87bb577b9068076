"""How a map is made at any size: grid, cube, profiles, models, production, assessment, products."""
