"""Which body parts show no face: whatever is not listed here is taken to show one.

Source: DICOM PS3.16 Annex L (defined terms of BodyPartExamined).
"""

WITHOUT_FACE = frozenset(
    {
        *("ABDOMEN", "ABDOMENPELVIS", "ADRENAL", "ANKLE", "ANUS", "AORTA", "APPENDIX", "ARM", "BACK", "BILEDUCT"),
        *("BLADDER", "BREAST", "BRONCHUS", "BUTTOCK", "CALCANEUS", "CALF", "CHEST", "CHESTABDOMEN", "CHESTABDPELVIS"),
        *("CLAVICLE", "COCCYX", "COLON", "DIAPHRAGM", "DUODENUM", "ELBOW", "ESOPHAGUS", "EXTREMITY", "FEMUR", "FIBULA"),
        *("FINGER", "FOOT", "FOREARM", "GALLBLADDER", "HAND", "HEART", "HIP", "HUMERUS", "ILEUM", "ILIUM", "JEJUNUM"),
        *("KIDNEY", "KNEE", "LEG", "LIVER", "LSPINE", "LSSPINE", "LUMBARSPINE", "LUNG", "MEDIASTINUM", "OVARY"),
        *("PANCREAS", "PATELLA", "PELVIS", "PENIS", "PERINEUM", "PHANTOM", "PROSTATE", "RADIUS", "RADIUSULNA"),
        *("RECTUM", "RIB", "SACRUM", "SCAPULA", "SCROTUM", "SHOULDER", "SIJOINT", "SMALLINTESTIN", "SPLEEN"),
        *("SSPINE", "STERNUM", "STOMACH", "TESTIS", "THIGH", "THORAX", "THUMB", "THYMUS", "TIBIA", "TIBIAFIBULA"),
        *("TLSPINE", "TOE", "TSPINE", "ULNA", "URETER", "URETHRA", "UTERUS", "VAGINA", "WRIST"),
    }
)
"""Body parts whose images stop below the chin."""

WITH_FACE = frozenset(
    {
        *("BRAIN", "CERVIX", "CSPINE", "CTSPINE", "EAR", "EYE", "FACE", "HEAD", "HEADNECK", "IAC", "JAW", "LARYNX"),
        *("MANDIBLE", "MAXILLA", "NASOPHARYNX", "NECK", "NOSE", "ORBIT", "PAROTID", "PHARYNX", "PITUITARY", "SINUS"),
        *("SKULL", "SPINE", "TEMPORALBONE", "THYROID", "TMJ", "TONGUE", "TRACHEA", "WHOLEBODY", "ZYGOMA"),
    }
)
"""Body parts whose images may show a face; the words are the standard's, so that they may stay in a header."""

FACE_CODES = frozenset(
    {
        *("69536005", "12738006", "89546000", "774007", "302548004", "45048000", "122494005", "38266002"),
        *("T-D1100", "T-A0100", "T-11100", "T-D1000", "T-D1200", "T-D1600", "T-11501", "T-D0010"),
    }
)
"""SNOMED codes (SCT, SRT) of head, brain, skull, head and neck, neck, cervical spine and whole body."""
