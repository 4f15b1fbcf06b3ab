"""Images: data sets, splits and light augmentation."""
