"""A whole archive of pictures to a folder of Parquet files; needs the packages of `archive`."""
