"""The diagnoses that have a page to read; their texts stand in words/pages."""

from __future__ import annotations

import msgspec


class Diagnosis(msgspec.Struct, frozen=True):
    """A diagnosis of HAM10000: how many of its pictures show it, and where its texts come from."""

    id: str
    malignant: bool
    pictures: int
    sources: tuple[str, ...]


_HAM10000 = (
    "Tschandl, Rosendahl, Kittler: The HAM10000 dataset. Scientific Data 5, 180161 (2018), "
    "doi:10.1038/sdata.2018.161"
)

DIAGNOSES = {
    diagnosis.id: diagnosis
    for diagnosis in (
        Diagnosis(
            "mel",
            malignant=True,
            pictures=1113,
            sources=(
                _HAM10000,
                "Arnold et al. (International Agency for Research on Cancer): Global burden of "
                "cutaneous melanoma in 2020. JAMA Dermatology 158, 495 (2022)",
                "Pampena et al.: A meta-analysis of nevus-associated melanoma. J. Am. Acad. "
                "Dermatol. 77, 938 (2017)",
                "Argenziano et al.: Dermoscopy of pigmented skin lesions, a consensus meeting. "
                "J. Am. Acad. Dermatol. 48, 679 (2003)",
                "DermNet: Melanoma",
            ),
        ),
        Diagnosis(
            "bcc",
            malignant=True,
            pictures=514,
            sources=(
                _HAM10000,
                "Altamura et al.: Dermatoscopy of basal cell carcinoma. J. Am. Acad. Dermatol. 62, "
                "67 (2010)",
                "American Cancer Society: Basal and squamous cell skin cancer",
                "DermNet: Basal cell carcinoma",
            ),
        ),
        Diagnosis(
            "akiec",
            malignant=True,
            pictures=327,
            sources=(
                _HAM10000,
                "Zalaudek et al.: Dermatoscopy of facial actinic keratosis. J. Am. Acad. Dermatol. "
                "66, 589 (2012)",
                "DermNet: Actinic keratosis; Intraepidermal squamous cell carcinoma",
            ),
        ),
        Diagnosis(
            "nv",
            malignant=False,
            pictures=6705,
            sources=(
                _HAM10000,
                "Pampena et al.: A meta-analysis of nevus-associated melanoma. J. Am. Acad. "
                "Dermatol. 77, 938 (2017)",
                "DermNet: Melanocytic naevus",
            ),
        ),
        Diagnosis(
            "bkl",
            malignant=False,
            pictures=1099,
            sources=(
                _HAM10000,
                "Augustin et al.: Prevalence of skin lesions and need for treatment in a cohort of "
                "90 880 workers. Br. J. Dermatol. 165, 865 (2011)",
                "Braun et al.: Dermoscopy of pigmented seborrheic keratosis. Arch. Dermatol. 138, "
                "1556 (2002)",
                "DermNet: Seborrhoeic keratosis; Solar lentigo; Lichen planus-like keratosis",
            ),
        ),
        Diagnosis(
            "vasc",
            malignant=False,
            pictures=142,
            sources=(
                _HAM10000,
                "DermNet: Cherry angioma; Angiokeratoma; Pyogenic granuloma",
            ),
        ),
        Diagnosis(
            "df",
            malignant=False,
            pictures=115,
            sources=(
                _HAM10000,
                "Zaballos et al.: Dermoscopy of dermatofibromas. Arch. Dermatol. 144, 75 (2008)",
                "DermNet: Dermatofibroma",
            ),
        ),
    )
}
