"""The screens: where widgets are put, which keys they have, and what a key asks the app to do."""
