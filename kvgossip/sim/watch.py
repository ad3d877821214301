"""A run as one HTML file, to be looked at: the template beside this file, with the recording in it as JSON.

The file loads nothing: it opens from disk, without a network.
"""

import json
from pathlib import Path

from kvgossip.sim.recording import Recording

TEMPLATE = Path(__file__).with_name("watch.html")
_PLACE = '<script id="data" type="application/json">null</script>'


def page(recording: Recording) -> str:
    """The same recording gives the same bytes."""
    data = json.dumps(recording.as_dict(), separators=(",", ":"))
    data = data.replace("<", "\\u003c")  # no text in it can end the script
    before, after = TEMPLATE.read_text().split(_PLACE)
    return f"{before}{_PLACE.replace('null', data)}{after}"
