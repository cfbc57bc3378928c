from __future__ import annotations

from pathlib import Path

import pytest

from models.datasets.celeba import celeba_people
from models.datasets.lfw import Split, lfw_people
from models.datasets.people import people_in_folders


def make_tree(root: Path, **images: int) -> Path:
    for person, count in images.items():
        (root / person).mkdir(parents=True)
        for number in range(count):
            (root / person / f"{number}.JPG").write_bytes(b"")
    return root


def test_a_folder_is_a_person(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "people", bo=2, anna=3, empty=0)
    (root / "anna" / "notes.txt").write_text("")
    (root / "readme.txt").write_text("")
    people = people_in_folders(root)
    assert [(person.name, len(person.images)) for person in people] == [("anna", 3), ("bo", 2)]
    assert people[0].images == tuple(sorted(people[0].images))
    assert [person.name for person in people_in_folders(root, fewest_images=3)] == ["anna"]


def test_nobody_is_an_error(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ValueError, match=root.name):
            people_in_folders(root)


def test_celeba_is_grouped_by_identity(tmp_path: Path) -> None:
    (tmp_path / "identities.csv").write_text("image,identity\nb.jpg,7\na.jpg,7\nc.jpg,3\n")
    (person,) = celeba_people(tmp_path)
    assert (person.name, [path.name for path in person.images]) == ("celeba 7", ["a.jpg", "b.jpg"])
    assert [person.name for person in celeba_people(tmp_path, fewest_images=1)] == ["celeba 3", "celeba 7"]


@pytest.mark.parametrize("text", ["name,identity\na.jpg,3\n", "image,identity\na.jpg,x\n"])
def test_another_list_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "identities.csv").write_text(text)
    with pytest.raises(ValueError, match="no list of image and identity"):
        celeba_people(tmp_path)


def test_the_splits_share_nobody(shared_data: Path) -> None:
    splits = [{person.name for person in lfw_people(shared_data, split)} for split in Split]
    assert [len(names) for names in splits] == [1092, 168, 2000, 420, 2067]
    assert len(set.union(*splits)) == sum(map(len, splits))
    assert all(person.images for split in Split for person in lfw_people(shared_data, split))
