"""Physics of CT: a file to HU (`dicom`), HU to one scale for everybody (`geometry`), HU to grey (`windowing`)."""
