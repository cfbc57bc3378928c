"""Two people's pictures become templates and are compared: walk.py URL FOLDER FOLDER"""

import os
import sys
from pathlib import Path

from service.client import Coreface, CorefaceProblem

url, one_folder, other_folder = sys.argv[1:]

# Every call is sent again where that may help and does no harm, and ends within its deadline.
with Coreface(url, api_key=os.environ.get("COREFACE_API_KEY"), deadline_s=60) as coreface:
    one, other = (coreface.enrol(sorted(Path(folder).iterdir())) for folder in (one_folder, other_folder))

    for name, probe in (("itself", one), ("the other", other)):
        answer = coreface.verify(one.template_id, probe.template_id, operating_point="fmr_1e-2")
        print(f"with {name}: {answer.decision} at {answer.operating_point}")

    try:
        coreface.template("A" * 22)
    except CorefaceProblem as problem:  # A stable code, and never a decision.
        print(f"refused: {problem.code}")

    for template in (one, other):
        coreface.erase(template.template_id)
    try:
        coreface.template(one.template_id)
    except CorefaceProblem as problem:
        print(f"erased: {problem.code}")
