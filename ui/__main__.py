"""Make the comparison the page opens with anew: `python -m ui`, after the weights have changed."""

import enhancers
from ui import first

first.write({name: enhancers.load(name) for name in enhancers.NAMES}, first.FOLDER)
print(f"Written to {first.FOLDER}.")
