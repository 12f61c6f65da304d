"""The columns of the mask index and of its rejects."""

import pyarrow as pa

SCHEMA = pa.schema(
    [
        ("image_id", pa.int64()),
        ("file_name", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("jpeg_offset", pa.int64()),
        ("jpeg_bytes", pa.int64()),
        ("mask_id", pa.int64()),
        ("counts", pa.string()),
        ("bbox", pa.list_(pa.float64())),
        ("area", pa.int64()),
        ("predicted_iou", pa.float64()),
        ("stability_score", pa.float64()),
        ("point_coords", pa.list_(pa.list_(pa.float64()))),
        ("crop_box", pa.list_(pa.float64())),
    ]
)
REJECTS = pa.schema(
    [
        ("member", pa.string()),
        ("image_id", pa.int64()),
        ("mask_id", pa.int64()),
        ("field", pa.string()),
        ("value", pa.string()),
        ("reason", pa.string()),
    ]
)
